"""Footfall: visits, visitors and dwell by hour, day, week and month of a store's own clock."""
