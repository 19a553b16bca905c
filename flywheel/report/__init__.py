"""What people read: the leaderboard, the history and the audition, in Markdown and HTML."""
