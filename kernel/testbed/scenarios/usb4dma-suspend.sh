# Two guests: one sleeps (suspend to idle) while each floods a channel of the other and two more are in conversation; then it is switched
# off with its rails up. The other sees the rails go each time, and the frames flow again after each sleep.
#
#   cargo xtask kernel test --scenario usb4dma-suspend
. /lib.sh
rails=/sys/class/misc/usb4dma/rails
frames=/tmp/frames
up() { [ "$(cat $rails/*/state 2> /dev/null | busybox grep -c up)" = "$1" ]; }
down() { [ "$(busybox dmesg | busybox grep -c 'link to node .* is down')" -ge "$1" ]; }
epochs() { [ "$(cat $rails/*/epoch | busybox tr '\n' ' ')" = "$1 $1 $1 $1 " ]; }
empty() { [ "$(cat /sys/class/misc/usb4dma/channels)" = 0 ]; }
sum() { cat $rails/*/"$1" | busybox awk '{ sum += $1 } END { print sum }'; }

# serve NAME: a channel that echoes; its address goes to /job/NAME.$h, for the other guest.
serve() {
    $frames serve "/tmp/$1" > /dev/null 2>&1 &
    wait_for 20 test -s "/tmp/$1" || fail "no server $1"
    cp "/tmp/$1" "/job/$1.tmp.$h"; mv "/job/$1.tmp.$h" "/job/$1.$h"
    wait_for 30 test -e "/job/$1.$((1 - h))" || fail "the other side has no server $1"
}

cp /job/artifacts/frames $frames
load thunderbolt && busybox insmod /job/artifacts/usb4_dma.ko rails=2 || fail "the modules do not load"
wait_for 60 up 4 || fail "not all rails came up"
serve echo
serve sink
read -r node channel < "/job/sink.$((1 - h))"
$frames flood $node $channel > /dev/null 2>&1 &
flood=$!
read -r node channel < "/job/echo.$((1 - h))"
$frames ping $node $channel 20000 sleep 500 > /tmp/ping 2>&1 &
ping=$!
moving=$(sum rx_frames)
moved() { [ "$(sum rx_frames)" -gt $((moving + 500)) ]; }
wait_for 30 moved || fail "the frames do not flow"
barrier moving

for sleep in 1 2; do
    epochs $sleep || fail "sleep $sleep: a rail had gone before: $(cat $rails/*/epoch | busybox tr '\n' ' ')"
    if [ "$h" = 1 ]; then
        suspend 8
        say "slept: $(busybox dmesg | busybox grep 'PM: suspend' | busybox tail -n 2 | busybox tr '\n' ' ')"
        [ "$(cat /sys/power/suspend_stats/success)" = $sleep ] || fail "this guest has slept $(cat /sys/power/suspend_stats/success) times, not $sleep"
        touch "/job/woke.$sleep"
    else
        # Each cable says so once.
        wait_for 60 down $((2 * sleep)) || fail "sleep $sleep: the rails to the sleeper stayed: $(cat $rails/*/state | busybox tr '\n' ' ')"
        [ ! -e "/job/woke.$sleep" ] || fail "sleep $sleep: the rails went only when the sleeper woke"
        wait_for 90 test -e "/job/woke.$sleep" || fail "sleep $sleep: the other side did not wake"
    fi
    wait_for 60 up 4 || fail "sleep $sleep: the rails did not come back: $(cat $rails/*/state | busybox tr '\n' ' ')"
    epochs $((sleep + 1)) || fail "sleep $sleep: not every rail has a second life: $(cat $rails/*/epoch | busybox tr '\n' ' ')"
    moving=$(sum rx_frames)
    wait_for 30 moved || fail "sleep $sleep: the frames do not flow again"
    barrier "slept.$sleep"
    say "sleep $sleep: rails and frames are back"
done
busybox kill -9 $flood
wait $ping || fail "the conversation: $(cat /tmp/ping)"
say "the conversation: $(cat /tmp/ping)"
[ "$h" = 1 ] || echo "RESULT suspend $(busybox cut -d ' ' -f 2- /tmp/ping)"
barrier spoken
busybox killall -9 frames
wait
wait_for 20 empty || fail "killed processes left channels"

# The host interface's rings stop before it loses power, and the neighbour is told. What the kernel says so late only the console shows.
says_down() { [ "$(busybox grep -c 'link to node .* is down' /job/console.1)" -ge 2 ]; }
! says_down || fail "the console shows the rails going before they do"
barrier quiet
if [ "$h" = 1 ]; then
    busybox dmesg -n 7
    say "powering off with the rails up"
    exit 0
fi
wait_for 60 up 0 || fail "rails to a host that is off"
wait_for 30 says_down || fail "the host did not take its rails down before it went off: $(busybox tail -n 5 /job/console.1)"
say "powered off: seen"
busybox rmmod usb4_dma || fail "usb4_dma does not unload"
