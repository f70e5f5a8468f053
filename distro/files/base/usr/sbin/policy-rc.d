#!/bin/sh
# No service manager runs in a container (invoke-rc.d(8)).
exit 101
