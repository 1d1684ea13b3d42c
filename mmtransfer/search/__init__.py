"""The search behind `mmtransfer auto`: what is tried, for how long, and what it cost."""
