// The tests look at the stacks of their own process, all of them: one at a time.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
