"""The commands of jobs as processes: started, watched, stopped."""
