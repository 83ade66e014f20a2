# Sourced: PulseAudio in user mode with two null sinks, as sound cards in software. `speaker` is the
# loudspeaker; `room` stands for the air: its monitor is the microphone. ALSA's plugin makes both
# PortAudio's device "pulse". Needs $work, a folder of the caller's, who calls stop_server at the
# end. Talks to no other sound server, no session bus and no display.
unset DBUS_SESSION_BUS_ADDRESS DISPLAY PULSE_SERVER
export XDG_RUNTIME_DIR=$work/run HOME=$work/home PULSE_RUNTIME_PATH=$work/run/pulse
# ALSA's plugins lose memory of their own, and are unloaded when LeakSanitizer looks, which cannot
# tell then whose it was. What Runnel loses shows in every other test.
[ -z "${ASAN_OPTIONS:-}" ] || export ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
mkdir -m 700 "$work/run" "$work/home"
server='' recorder=''

# (Without norewinds a null sink plays 2 s ahead, and a new stream has to wait for that.)
# start_server: false when it cannot be started; the reason is the last line of pulse.log
start_server() {
    pulseaudio --daemonize=no --exit-idle-time=-1 --system=false --use-pid-file=no -n \
        -L module-native-protocol-unix \
        -L "module-null-sink sink_name=speaker rate=48000 norewinds=1" \
        -L "module-null-sink sink_name=room rate=48000 norewinds=1" > "$work/pulse.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        if pactl info > /dev/null 2>&1; then
            pactl set-default-sink speaker && pactl set-default-source room.monitor && return
        fi
        kill -0 "$server" 2>/dev/null || return 1
        sleep 0.2
    done
    return 1
}

stop_server() {
    [ -z "$server" ] || kill "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    server=''
}

# record FILE: everything the loudspeaker plays, until stop_recording
record() {
    parec -d speaker.monitor --rate=24000 --channels=1 --latency-msec=20 --file-format=wav "$1" &
    recorder=$!
    for _ in $(seq 50); do # it has begun when samples come behind the header
        sleep 0.1
        [ "$(stat -c %s "$1" 2>/dev/null || echo 0)" -le 44 ] || return 0
    done
}
stop_recording() {
    sleep 0.3
    kill "$recorder"
    wait "$recorder" 2>/dev/null
}
