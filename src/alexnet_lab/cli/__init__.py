"""From a command line to the other rooms: preflight check, explanations, requests."""
