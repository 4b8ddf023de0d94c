"""What the peers run, each with its own Python: `enqueue N`, then `wait N` beside the workers. No part imports ours."""
