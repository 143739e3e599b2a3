# check: success-is-seen
# Who has yielded does not look at the record.
/^in_yielded(/,/^}/ s/yielded_tick(s);/;/
