"""`PtychoPINN` and what it is made with, told and kept in: the factory, inputs, the archive."""
