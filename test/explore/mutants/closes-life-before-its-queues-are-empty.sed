# check: life
# Closes LIFE when it renounces, not when its host has emptied the queues.
/^renounce(struct/,/^}/ s/add(s, HANDOFF_CLOSE_PATH);/&\n\tadd(s, HANDOFF_CLOSE_LIFE);/
