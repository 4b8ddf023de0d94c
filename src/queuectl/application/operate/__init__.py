"""Use cases of people: what they ask of the queue, a file a topic, each a function of the queue that is asked."""
