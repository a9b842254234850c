"""The version of this package: the build, the command line and every file that is written read it here."""

__version__ = "0.1.0"
