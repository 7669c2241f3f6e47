"""Before a run: which windows are played, what it will take, and how OpenRLHF is told."""
