"""Reads the settings of other tools."""
