# fish completion for io
# Generated from the command records by 'io completion fish'; do not edit.

# The command of the line; nothing where there is none before the cursor
function __io_command
    set -l words (commandline -opc)
    set -e words[1]
    if contains -- "$words[1]" replay help completion
        echo $words[1]
    end
end

function __io_using
    test "$(__io_command)" = "$argv[1]"
end

function __io_first
    test (count (commandline -opc)) = 1
end

# Keys as NAME=, a tab and their help: TABLE NAME
function __io_keys
    switch "$argv"
        case 'create file'
            printf '%s\n' \
                'extent_size_hint=	Extent size hint for the image file, 0 to disable' \
                'nocow=	Turn off copy-on-write (valid only on btrfs)' \
                'preallocation=	Preallocation mode (allowed values: off, falloc, full)' \
                'size=	Virtual disk size'
        case 'create host_device'
            printf '%s\n' \
                'preallocation=	Preallocation mode (allowed values: off)' \
                'size=	Virtual disk size'
        case 'create luks'
            printf '%s\n' \
                'cipher-alg=	Name of encryption cipher algorithm' \
                'cipher-mode=	Name of encryption cipher mode' \
                'detached-header=	Make the header alone, for data in another file' \
                'extent_size_hint=	Extent size hint for the image file, 0 to disable' \
                'hash-alg=	Name of encryption hash algorithm' \
                'iter-time=	Time to spend in PBKDF in milliseconds' \
                'ivgen-alg=	Name of IV generator algorithm' \
                'ivgen-hash-alg=	Name of IV generator hash algorithm' \
                'key-secret=	ID of the secret that provides the keyslot passphrase' \
                'nocow=	Turn off copy-on-write (valid only on btrfs)' \
                'preallocation=	Space to take at once' \
                'size=	Virtual disk size'
        case 'create nbd'
            printf '%s\n' \
                'size=	Bytes that the export must have at least'
        case 'create qcow2'
            printf '%s\n' \
                'backing_file=	File name of a base image' \
                'backing_fmt=	Image format of the base image' \
                'cluster_size=	qcow2 cluster size' \
                'compat=	Compatibility level (v2 [0.10] or v3 [1.1])' \
                'compression_type=	Compression method used for image cluster compression' \
                'data_file=	File name of an external data file' \
                'data_file_raw=	The external data file must stay valid as a raw image' \
                'encrypt.cipher-alg=	Name of encryption cipher algorithm' \
                'encrypt.cipher-mode=	Name of encryption cipher mode' \
                'encrypt.format=	Encrypt the image, format choices: \'luks\'; \'aes\' is refused' \
                'encrypt.hash-alg=	Name of encryption hash algorithm' \
                'encrypt.iter-time=	Time to spend in PBKDF in milliseconds' \
                'encrypt.ivgen-alg=	Name of IV generator algorithm' \
                'encrypt.ivgen-hash-alg=	Name of IV generator hash algorithm' \
                'encrypt.key-secret=	ID of secret providing qcow AES key or LUKS passphrase' \
                'encryption=	Encrypt the image with format \'aes\'. (Deprecated in favor of encrypt.format=aes)' \
                'extended_l2=	Extended L2 tables' \
                'extent_size_hint=	Extent size hint for the image file, 0 to disable' \
                'lazy_refcounts=	Postpone refcount updates' \
                'nocow=	Turn off copy-on-write (valid only on btrfs)' \
                'preallocation=	Preallocation mode (allowed values: off, metadata, falloc, full)' \
                'refcount_bits=	Width of a reference count entry in bits' \
                'size=	Virtual disk size'
        case 'create raw'
            printf '%s\n' \
                'extent_size_hint=	Extent size hint for the image file, 0 to disable' \
                'nocow=	Turn off copy-on-write (valid only on btrfs)' \
                'preallocation=	Preallocation mode (allowed values: off, falloc, full)' \
                'size=	Virtual disk size'
        case 'amend luks'
            printf '%s\n' \
                'iter-time=	Time to spend in PBKDF in milliseconds' \
                'keyslot=	Select a single keyslot to modify explicitly' \
                'new-secret=	New secret to set in the matching keyslots. Empty string to erase' \
                'old-secret=	Select all keyslots that match this password' \
                'state=	Select new state of affected keyslots (active/inactive)'
        case 'amend qcow2'
            printf '%s\n' \
                'backing_file=	File name of a base image' \
                'backing_fmt=	Image format of the base image' \
                'compat=	Compatibility level (v2 [0.10] or v3 [1.1])' \
                'data_file=	File name of an external data file' \
                'data_file_raw=	The external data file must stay valid as a raw image' \
                'encrypt.format=	How the image is encrypted; it says so itself' \
                'encrypt.iter-time=	Time to spend in PBKDF in milliseconds' \
                'encrypt.keyslot=	Select a single keyslot to modify explicitly' \
                'encrypt.new-secret=	New secret to set in the matching keyslots. Empty string to erase' \
                'encrypt.old-secret=	Select all keyslots that match this password' \
                'encrypt.state=	Select new state of affected keyslots (active/inactive)' \
                'lazy_refcounts=	Postpone refcount updates' \
                'refcount_bits=	Width of a reference count entry in bits' \
                'size=	Virtual disk size'
        case 'object authz-list'
            printf '%s\n' \
                'id=	Name by which others refer to it' \
                'policy=	What holds for those whom no rule fits' \
                'rules.0.format=	How \'match\' is meant: as it stands, or with * and ?' \
                'rules.0.match=	Whom the rule is about' \
                'rules.0.policy=	Whether they may connect'
        case 'object authz-list-file'
            printf '%s\n' \
                'id=	Name by which others refer to it' \
                'filename=	File with policy and rules as JSON' \
                'refresh=	Read it again when it has changed'
        case 'object authz-simple'
            printf '%s\n' \
                'id=	Name by which others refer to it' \
                'identity=	Distinguished name, or user name, of the one who may connect'
        case 'object iothread'
            printf '%s\n' \
                'id=	Name by which others refer to it' \
                'aio-max-batch=	No effect here' \
                'poll-grow=	No effect here' \
                'poll-max-ns=	No effect here' \
                'poll-shrink=	No effect here' \
                'thread-pool-max=	No effect here' \
                'thread-pool-min=	No effect here'
        case 'object secret'
            printf '%s\n' \
                'id=	Name by which others refer to it' \
                'data=	The secret itself; other users can see it in the list of processes' \
                'file=	File that holds it' \
                'format=	How the data is encoded' \
                'iv=	Initialization vector of that encryption, base64' \
                'keyid=	Id of the secret that this one is encrypted with (AES-256 in CBC mode)'
        case 'object secret_keyring'
            printf '%s\n' \
                'id=	Name by which others refer to it' \
                'format=	How the data is encoded' \
                'iv=	Initialization vector of that encryption, base64' \
                'keyid=	Id of the secret that this one is encrypted with (AES-256 in CBC mode)' \
                'serial=	Serial number of the key'
        case 'object throttle-group'
            printf '%s\n' \
                'id=	Name by which others refer to it' \
                'limits.bps-read=	Most bytes read per second' \
                'limits.bps-read-max=	Most bytes read per second in a burst' \
                'limits.bps-read-max-length=	Longest burst in seconds' \
                'limits.bps-total=	Most bytes per second' \
                'limits.bps-total-max=	Most bytes per second in a burst' \
                'limits.bps-total-max-length=	Longest burst in seconds' \
                'limits.bps-write=	Most bytes written per second' \
                'limits.bps-write-max=	Most bytes written per second in a burst' \
                'limits.bps-write-max-length=	Longest burst in seconds' \
                'limits.iops-read=	Most reads per second' \
                'limits.iops-read-max=	Most reads per second in a burst' \
                'limits.iops-read-max-length=	Longest burst in seconds' \
                'limits.iops-size=	Bytes after which a request counts as another operation' \
                'limits.iops-total=	Most operations per second' \
                'limits.iops-total-max=	Most operations per second in a burst' \
                'limits.iops-total-max-length=	Longest burst in seconds' \
                'limits.iops-write=	Most writes per second' \
                'limits.iops-write-max=	Most writes per second in a burst' \
                'limits.iops-write-max-length=	Longest burst in seconds' \
                'x-bps-read=	Most bytes read per second' \
                'x-bps-read-max=	Most bytes read per second in a burst' \
                'x-bps-read-max-length=	Longest burst in seconds' \
                'x-bps-total=	Most bytes per second' \
                'x-bps-total-max=	Most bytes per second in a burst' \
                'x-bps-total-max-length=	Longest burst in seconds' \
                'x-bps-write=	Most bytes written per second' \
                'x-bps-write-max=	Most bytes written per second in a burst' \
                'x-bps-write-max-length=	Longest burst in seconds' \
                'x-iops-read=	Most reads per second' \
                'x-iops-read-max=	Most reads per second in a burst' \
                'x-iops-read-max-length=	Longest burst in seconds' \
                'x-iops-size=	Bytes after which a request counts as another operation' \
                'x-iops-total=	Most operations per second' \
                'x-iops-total-max=	Most operations per second in a burst' \
                'x-iops-total-max-length=	Longest burst in seconds' \
                'x-iops-write=	Most writes per second' \
                'x-iops-write-max=	Most writes per second in a burst' \
                'x-iops-write-max-length=	Longest burst in seconds'
        case 'object tls-creds-anon'
            printf '%s\n' \
                'id=	Name by which others refer to it' \
                'dir=	Folder of dh-params.pem' \
                'endpoint=	Which end of a connection they are for' \
                'priority=	Versions and strength, in the words of GnuTLS (NORMAL:-VERS-TLS1.3)' \
                'verify-peer=	The other end has to prove who it is'
        case 'object tls-creds-psk'
            printf '%s\n' \
                'id=	Name by which others refer to it' \
                'dir=	Folder of the files' \
                'endpoint=	Which end of a connection they are for' \
                'priority=	Versions and strength, in the words of GnuTLS (NORMAL:-VERS-TLS1.3)' \
                'username=	Who the client is' \
                'verify-peer=	The other end has to prove who it is'
        case 'object tls-creds-x509'
            printf '%s\n' \
                'id=	Name by which others refer to it' \
                'dir=	Folder of the files' \
                'endpoint=	Which end of a connection they are for' \
                'passwordid=	Id of the secret that is the password of the private key' \
                'priority=	Versions and strength, in the words of GnuTLS (NORMAL:-VERS-TLS1.3)' \
                'sanity-check=	Look for what would make every connection fail' \
                'verify-peer=	The other end has to prove who it is'
    end
end

# Values of a key: TABLE NAME KEY
function __io_key_values
    switch "$argv"
        case 'create file nocow'
            printf '%s\n' \
                'on' \
                'off'
        case 'create file preallocation'
            printf '%s\n' \
                'off' \
                'falloc' \
                'full'
        case 'create host_device preallocation'
            printf '%s\n' \
                'off'
        case 'create luks cipher-alg'
            printf '%s\n' \
                'aes-128' \
                'aes-192' \
                'aes-256' \
                'des' \
                '3des' \
                'cast5-128' \
                'serpent-128' \
                'serpent-192' \
                'serpent-256' \
                'twofish-128' \
                'twofish-192' \
                'twofish-256' \
                'sm4'
        case 'create luks cipher-mode'
            printf '%s\n' \
                'cbc' \
                'xts' \
                'ecb' \
                'ctr'
        case 'create luks detached-header'
            printf '%s\n' \
                'on' \
                'off'
        case 'create luks hash-alg'
            printf '%s\n' \
                'md5' \
                'sha1' \
                'sha224' \
                'sha256' \
                'sha384' \
                'sha512' \
                'ripemd160' \
                'sm3'
        case 'create luks ivgen-alg'
            printf '%s\n' \
                'plain' \
                'plain64' \
                'essiv'
        case 'create luks ivgen-hash-alg'
            printf '%s\n' \
                'md5' \
                'sha1' \
                'sha224' \
                'sha256' \
                'sha384' \
                'sha512' \
                'ripemd160' \
                'sm3'
        case 'create luks nocow'
            printf '%s\n' \
                'on' \
                'off'
        case 'create luks preallocation'
            printf '%s\n' \
                'off' \
                'metadata' \
                'falloc' \
                'full'
        case 'create qcow2 backing_fmt'
            printf '%s\n' \
                'file' \
                'host_device' \
                'luks' \
                'nbd' \
                'null-aio' \
                'null-co' \
                'qcow2' \
                'quorum' \
                'raw' \
                'snapshot' \
                'snapshot-access'
        case 'create qcow2 compat'
            printf '%s\n' \
                '0.10' \
                '1.1' \
                'v2' \
                'v3'
        case 'create qcow2 compression_type'
            printf '%s\n' \
                'zlib' \
                'zstd'
        case 'create qcow2 data_file_raw'
            printf '%s\n' \
                'on' \
                'off'
        case 'create qcow2 encrypt.cipher-alg'
            printf '%s\n' \
                'aes-128' \
                'aes-192' \
                'aes-256' \
                'des' \
                '3des' \
                'cast5-128' \
                'serpent-128' \
                'serpent-192' \
                'serpent-256' \
                'twofish-128' \
                'twofish-192' \
                'twofish-256' \
                'sm4'
        case 'create qcow2 encrypt.cipher-mode'
            printf '%s\n' \
                'cbc' \
                'xts' \
                'ecb' \
                'ctr'
        case 'create qcow2 encrypt.format'
            printf '%s\n' \
                'luks'
        case 'create qcow2 encrypt.hash-alg'
            printf '%s\n' \
                'md5' \
                'sha1' \
                'sha224' \
                'sha256' \
                'sha384' \
                'sha512' \
                'ripemd160' \
                'sm3'
        case 'create qcow2 encrypt.ivgen-alg'
            printf '%s\n' \
                'plain' \
                'plain64' \
                'essiv'
        case 'create qcow2 encrypt.ivgen-hash-alg'
            printf '%s\n' \
                'md5' \
                'sha1' \
                'sha224' \
                'sha256' \
                'sha384' \
                'sha512' \
                'ripemd160' \
                'sm3'
        case 'create qcow2 encryption'
            printf '%s\n' \
                'on' \
                'off'
        case 'create qcow2 extended_l2'
            printf '%s\n' \
                'on' \
                'off'
        case 'create qcow2 lazy_refcounts'
            printf '%s\n' \
                'on' \
                'off'
        case 'create qcow2 nocow'
            printf '%s\n' \
                'on' \
                'off'
        case 'create qcow2 preallocation'
            printf '%s\n' \
                'off' \
                'metadata' \
                'falloc' \
                'full'
        case 'create raw nocow'
            printf '%s\n' \
                'on' \
                'off'
        case 'create raw preallocation'
            printf '%s\n' \
                'off' \
                'falloc' \
                'full'
        case 'amend luks state'
            printf '%s\n' \
                'active' \
                'inactive'
        case 'amend qcow2 backing_fmt'
            printf '%s\n' \
                'file' \
                'host_device' \
                'luks' \
                'nbd' \
                'null-aio' \
                'null-co' \
                'qcow2' \
                'quorum' \
                'raw' \
                'snapshot' \
                'snapshot-access'
        case 'amend qcow2 compat'
            printf '%s\n' \
                '0.10' \
                '1.1' \
                'v2' \
                'v3'
        case 'amend qcow2 data_file_raw'
            printf '%s\n' \
                'on' \
                'off'
        case 'amend qcow2 encrypt.format'
            printf '%s\n' \
                'luks'
        case 'amend qcow2 encrypt.state'
            printf '%s\n' \
                'active' \
                'inactive'
        case 'amend qcow2 lazy_refcounts'
            printf '%s\n' \
                'on' \
                'off'
        case 'object authz-list policy'
            printf '%s\n' \
                'deny' \
                'allow'
        case 'object authz-list rules.0.format'
            printf '%s\n' \
                'exact' \
                'glob'
        case 'object authz-list rules.0.policy'
            printf '%s\n' \
                'deny' \
                'allow'
        case 'object authz-list-file refresh'
            printf '%s\n' \
                'on' \
                'off'
        case 'object secret format'
            printf '%s\n' \
                'raw' \
                'base64'
        case 'object secret_keyring format'
            printf '%s\n' \
                'raw' \
                'base64'
        case 'object tls-creds-anon endpoint'
            printf '%s\n' \
                'client' \
                'server'
        case 'object tls-creds-anon verify-peer'
            printf '%s\n' \
                'on' \
                'off'
        case 'object tls-creds-psk endpoint'
            printf '%s\n' \
                'client' \
                'server'
        case 'object tls-creds-psk verify-peer'
            printf '%s\n' \
                'on' \
                'off'
        case 'object tls-creds-x509 endpoint'
            printf '%s\n' \
                'client' \
                'server'
        case 'object tls-creds-x509 sanity-check'
            printf '%s\n' \
                'on' \
                'off'
        case 'object tls-creds-x509 verify-peer'
            printf '%s\n' \
                'on' \
                'off'
    end
end

# The value that is being typed, without its option
function __io_value_token
    commandline -ct | string replace -r '^(--[\w-]+=|-\w(?!=))' ''
end

# What the list NAME=VALUE,... can go on with: TABLE NAME
function __io_pairs
    set -l value (__io_value_token)
    set -l last (string replace -r '^.*,' '' -- $value)
    set -l head (string replace -r '[^,]*$' '' -- $value)
    if string match -q '*=*' -- $last
        set -l key (string replace -r '=.*' '' -- $last)
        set -l found (__io_key_values $argv $key)
        if set -q found[1]
            printf "%s\n" $head$key=$found
        else
            __fish_complete_path (string replace -r '^[^=]*=' '' -- $last) | string replace -r '^' -- $head$key=
        end
    else
        printf "%s\n" $head(__io_keys $argv)
    end
end

# Keys of the format that one of the options names: TABLE FALLBACK OPTION...
function __io_format_keys
    set -l of $argv[2]
    set -l words (commandline -opc)
    for option in $argv[3..]
        for at in (seq (count $words))
            if test "$words[$at]" = $option; and set -q words[(math $at + 1)]
                set of $words[(math $at + 1)]
            else if string match -q -- '--*' $option; and string match -q -- "$option=*" $words[$at]
                set of (string replace -r '^[^=]*=' '' -- $words[$at])
            else if string match -qr -- '^-\w$' $option; and string match -q -- "$option?*" $words[$at]
                set of (string sub -s 3 -- $words[$at])
            end
        end
    end
    __io_pairs $argv[1] $of
end

function __io_objects
    set -l value (__io_value_token)
    if string match -q "*,*" -- $value
        __io_pairs object (string replace -r ',.*' '' -- $value)
    else
            printf '%s\n' \
                'authz-list,' \
                'authz-list-file,' \
                'authz-simple,' \
                'iothread,' \
                'secret,' \
                'secret_keyring,' \
                'throttle-group,' \
                'tls-creds-anon,' \
                'tls-creds-psk,' \
                'tls-creds-x509,'
    end
end

complete -c io -n '__io_using ""' -s c -l cmd -x -a 'read readv write writev discard flush aio_read aio_write aio_discard aio_flush alloc map length info truncate open reopen close break remove_break resume wait_break hold release fail wait_label labels zone_report zone_open zone_close zone_finish zone_reset zone_append sleep sigraise abort help quit' -d 'Run this command'
complete -c io -n '__io_using ""' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the image'
complete -c io -n '__io_using ""' -l image-opts -d 'FILE is a list of options'
complete -c io -n '__io_using ""' -l object -x -a '(__io_objects)' -d 'Define an object'
complete -c io -n '__io_using ""' -s r -l read-only -d 'Open for reading only'
complete -c io -n '__io_using ""' -s s -l snapshot -d 'Let writes go to a temporary overlay'
complete -c io -n '__io_using ""' -s n -l nocache -d 'Bypass the page cache, as -t none'
complete -c io -n '__io_using ""' -s t -l cache -x -a 'none writeback writethrough directsync unsafe' -d 'Cache mode'
complete -c io -n '__io_using ""' -s d -l discard -x -a 'ignore unmap' -d 'Whether discards are passed on'
complete -c io -n '__io_using ""' -s i -l aio -x -a 'threads' -d 'How requests that have to wait are carried out'
complete -c io -n '__io_using ""' -s k -l native-aio -d 'The same as -i native, which is refused'
complete -c io -n '__io_using ""' -s C -l copy-on-read -d 'Keep what is read from a backing file'
complete -c io -n '__io_using ""' -s m -l misalign -d 'Give drivers buffers that are not aligned in memory'
complete -c io -n '__io_using ""' -s U -l force-share -d 'Share the image with programs that write to it; needs -r'
complete -c io -n '__io_using ""' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c io -n '__io_using ""' -l strict-base -d 'Refuse an image when its backing file was written to since the image was made on it, which is warned of otherwise, or the length or time of that file is another one'
complete -c io -n '__io_using ""' -l trace -r -F -d 'Record all requests to the opened images in FILE'
complete -c io -n '__io_using ""' -s T -x -d 'Accepted for compatibility'
complete -c io -n '__io_using ""' -s V -l version -d 'Show the version'
complete -c io -n '__io_using ""' -s h -l help -d 'Show this help'

complete -c io -n __io_first -a replay -d 'Issue the requests of a trace again and compare how long they take'
complete -c io -n '__io_using replay' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the image'
complete -c io -n '__io_using replay' -l image-opts -d 'IMAGE is a list of options'
complete -c io -n '__io_using replay' -l object -x -a '(__io_objects)' -d 'Define an object'
complete -c io -n '__io_using replay' -s t -l cache -x -a 'none writeback writethrough directsync unsafe' -d 'Cache mode'
complete -c io -n '__io_using replay' -s d -l discard -x -a 'ignore unmap' -d 'Whether discards are passed on'
complete -c io -n '__io_using replay' -s i -l aio -x -a 'threads' -d 'How requests that have to wait are carried out'
complete -c io -n '__io_using replay' -s U -l force-share -d 'Share the image with programs that write to it'
complete -c io -n '__io_using replay' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c io -n '__io_using replay' -l strict-base -d 'Refuse an image when its backing file was written to since the image was made on it, which is warned of otherwise, or the length or time of that file is another one'
complete -c io -n '__io_using replay' -l speed -x -d 'So many times as fast as recorded'
complete -c io -n '__io_using replay' -l asap -d 'As fast as possible, with the recorded order and overlap'
complete -c io -n '__io_using replay' -l depth -x -d 'Most requests under way'
complete -c io -n '__io_using replay' -l only -x -d 'Only these, comma separated'
complete -c io -n '__io_using replay' -l map-offset -x -d 'Where requests go'
complete -c io -n '__io_using replay' -l node -x -d 'Node of the trace whose requests are issued'
complete -c io -n '__io_using replay' -l seed -x -d 'What the content of writes is made of'
complete -c io -n '__io_using replay' -l verify -d 'Check what is read, and read everything back in the end'
complete -c io -n '__io_using replay' -l check -d 'Issue nothing'
complete -c io -n '__io_using replay' -l output -x -a 'human json' -d 'How to print the result'
complete -c io -n '__io_using replay' -l plot -r -F -d 'Draw latencies, and offsets over time, into this SVG file'
complete -c io -n '__io_using replay' -l export-fio -r -F -d 'Write the requests as an I/O log of fio, named after IMAGE, and issue none'
complete -c io -n '__io_using replay' -s p -l progress -f -a 'human json' -d 'Show progress'
complete -c io -n '__io_using replay' -s q -l quiet -d 'Print errors only'
complete -c io -n '__io_using replay' -l trace -r -F -d 'Record all requests to the opened images in FILE'
complete -c io -n '__io_using replay' -s h -l help -d 'Show this help'

complete -c io -n __io_first -a help -d 'Show the commands there are, or tell about one'
complete -c io -n '__io_using help' -f -a 'replay help completion'
complete -c io -n '__io_using help' -s h -l help -d 'Show this help'

complete -c io -n __io_first -a completion -d 'Print a script that completes command lines in a shell'
complete -c io -n '__io_using completion' -f -a 'bash zsh fish'
complete -c io -n '__io_using completion' -s h -l help -d 'Show this help'
