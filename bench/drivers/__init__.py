"""Small programs that the bench times: each is one contender, or a part of one."""
