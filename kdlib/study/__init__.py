"""RunSpec -> run -> RunRecord -> artifact -> claim: the reproduction machinery."""
