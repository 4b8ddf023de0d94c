"""The core's needs from the world outside, in its own words.

Every method of a repository is one transaction: when it returns, the change is durable; when it raises, nothing
changed. Each may raise `DatabaseUnavailable`. Moments come from the caller's `Clock`, never from the adapter.
A port with a single method is a plain callable.
"""
