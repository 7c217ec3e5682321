# A run folder that several machines see, which the coordinator has for itself: `--shared-folder`, as NFS would be. See run.sh.
. "$(dirname "$0")/lib.sh"

owners() { find net -name 'owner.*' | wc -l; }
says_status() { "$programs/coordinator" status --run net >output 2>&1 && grep -q -e "$1" output; }

coordinate net $warm_task --shared-folder --generations 60; first=$coordinator
wait_for 30 listening net.log
check "a shared folder says who leads it" [ "$(owners)" = 1 ]
check "... \`status\` knows how the run stands" wait_for 20 says_status '^progress  *0 of 60 evaluated'
says "... and as of when" output "as of" "ago, by process $first on $(uname -n)"
refuse "... \`trials\` says why it has to wait" "net is led by process $first" "\`status\` works" -- "$programs/coordinator" trials --run net
refuse "a second coordinator is refused" "another coordinator runs on" -- "$programs/coordinator" --run net --shared-folder
"$programs/coordinator" pause --run net >output 2>&1
check "it is paused by a wish" [ $? -eq 0 ]
check "... which is heard" wait_for 10 logged net.log 'paused: nothing new'
check "... and gone then" wait_for 10 eval '[ ! -e net/wish ]'
work a net
wait_for 20 logged a.log 'welcome to run'
"$programs/coordinator" resume --run net >output 2>&1
check "... and resumed" wait_for 10 logged net.log 'resumed'
check "candidates come in" wait_for 60 says_status '^progress  *[1-9][0-9]* of 60 evaluated'
kill9 $first
check "a killed coordinator leaves its file" [ "$(owners)" = 1 ]
coordinate net --generations 60
finish $coordinator
check "... another one on that machine goes on at once" [ $code -eq 0 ]
check "... knows the folder for a shared one" [ "$(grep -c 'waiting for a sign of life' net.log)" = 0 ]
check "... and leaves nothing" [ "$(owners)" = 0 -a ! -e net/status -a ! -e net/wish ]
complete "a shared folder" net 60
check "... \`status\` reads the store then" says_status '^coordinator  *none: the run is finished'
theme_end
