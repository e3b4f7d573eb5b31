"""Networks that take part in a registration: what they are and how they learn."""
