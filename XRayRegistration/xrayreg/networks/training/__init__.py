"""What networks are taught by: losses and the gradients these compare."""
