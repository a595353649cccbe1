"""Segment's tracking API: the calls of Segment's, RudderStack's and compatible SDKs."""
