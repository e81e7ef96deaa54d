"""From logs of events to one row a customer: window features and inactivity labels."""
