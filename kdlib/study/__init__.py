"""Records -> artifact -> claim: what is made of the runs."""
