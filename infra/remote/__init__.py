"""Pictures that other servers hold."""
