"""What Beam's local runner needs to keep its promises."""
