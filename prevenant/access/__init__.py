"""Who may do what: people and programs, their sign-ins and tokens, and the trail of what they did."""
