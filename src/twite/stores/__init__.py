"""Stores: they implement the gateway's store ports."""
