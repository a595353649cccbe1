"""Turn consent signals (Consent Mode, TCF, GPP, US privacy) into a verdict on a conversion."""
