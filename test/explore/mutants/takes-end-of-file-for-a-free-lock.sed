# check: owner-only
# Does not ask for OWNER when its successor's end of file was read.
/^successor_died(/,/^}/ s/ask_for_owner(s);/take_back(s);/
