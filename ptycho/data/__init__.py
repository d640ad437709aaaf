"""Scans in and out of files: `open_scan` recognises a file by its content."""

from ptycho.data.opening import open_scan, save_scan

__all__ = ["open_scan", "save_scan"]
