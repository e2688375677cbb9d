"""The queue of the dead, for people: looking at parked messages, replaying and dropping them."""
