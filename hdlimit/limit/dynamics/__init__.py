"""One file a member of the family: its moment system, from a problem and an optimizer."""
