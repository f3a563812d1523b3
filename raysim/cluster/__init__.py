"""Where the work runs: in this process or as Ray actors; the actor pool, the scheduler, retries. Makes all actors."""
