"""What later labels say of past decisions: the verdict of time, the scoreboard, replays."""
