"""The process that trains: OpenRLHF's trainer, told what it does not know."""
