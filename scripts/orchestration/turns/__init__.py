"""What happens in a turn: workspace, order, work, judgement, commits."""
