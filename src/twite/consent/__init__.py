"""Consent signals (Consent Mode, TCF, GPP, US privacy) to a verdict on a conversion."""
