"""RunSpec -> run -> RunRecord: what a training is, where it is kept, how it is done."""
