# fish completion for nbd
# Generated from the command records by 'nbd completion fish'; do not edit.

# The command of the line; nothing where there is none before the cursor
function __nbd_command
    set -l words (commandline -opc)
    set -e words[1]
    if contains -- "$words[1]" help completion
        echo $words[1]
    end
end

function __nbd_using
    test "$(__nbd_command)" = "$argv[1]"
end

function __nbd_first
    test (count (commandline -opc)) = 1
end

# Keys as NAME=, a tab and their help: TABLE NAME
function __nbd_keys
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
function __nbd_key_values
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
function __nbd_value_token
    commandline -ct | string replace -r '^(--[\w-]+=|-\w(?!=))' ''
end

# What the list NAME=VALUE,... can go on with: TABLE NAME
function __nbd_pairs
    set -l value (__nbd_value_token)
    set -l last (string replace -r '^.*,' '' -- $value)
    set -l head (string replace -r '[^,]*$' '' -- $value)
    if string match -q '*=*' -- $last
        set -l key (string replace -r '=.*' '' -- $last)
        set -l found (__nbd_key_values $argv $key)
        if set -q found[1]
            printf "%s\n" $head$key=$found
        else
            __fish_complete_path (string replace -r '^[^=]*=' '' -- $last) | string replace -r '^' -- $head$key=
        end
    else
        printf "%s\n" $head(__nbd_keys $argv)
    end
end

# Keys of the format that one of the options names: TABLE FALLBACK OPTION...
function __nbd_format_keys
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
    __nbd_pairs $argv[1] $of
end

function __nbd_objects
    set -l value (__nbd_value_token)
    if string match -q "*,*" -- $value
        __nbd_pairs object (string replace -r ',.*' '' -- $value)
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

complete -c nbd -n '__nbd_using ""' -s p -l port -x -d 'TCP port (default: 10809; 0: any)'
complete -c nbd -n '__nbd_using ""' -s b -l bind -x -d 'Address to listen on, or of the server with -L'
complete -c nbd -n '__nbd_using ""' -s k -l socket -r -F -d 'Unix socket in the place of TCP, an absolute path'
complete -c nbd -n '__nbd_using ""' -l selinux-label -x -d 'What SELinux labels the Unix socket of -k, and the sockets of -c'
complete -c nbd -n '__nbd_using ""' -s e -l shared -x -d 'Clients served at a time, others wait in line'
complete -c nbd -n '__nbd_using ""' -l max-connections -x -d 'Clients connected at a time, with those in line'
complete -c nbd -n '__nbd_using ""' -s t -l persistent -d 'Go on when the last client has left'
complete -c nbd -n '__nbd_using ""' -l idle-exit -x -d 'End when nobody has been connected for so long'
complete -c nbd -n '__nbd_using ""' -s x -l export-name -x -d 'Name of the export'
complete -c nbd -n '__nbd_using ""' -s D -l description -x -d 'Description of the export'
complete -c nbd -n '__nbd_using ""' -l export -x -d 'A further export'
complete -c nbd -n '__nbd_using ""' -l handshake-limit -x -d 'Time for a client to negotiate; 0 for no limit'
complete -c nbd -n '__nbd_using ""' -s o -l offset -x -d 'Where in the image the export begins'
complete -c nbd -n '__nbd_using ""' -s A -l allocation-depth -d 'Tell which layer of a chain holds what'
complete -c nbd -n '__nbd_using ""' -s B -l bitmap -x -d 'Tell what this dirty bitmap holds (qemu:dirty-bitmap:NAME)'
complete -c nbd -n '__nbd_using ""' -s L -l list -d 'List what another server exports'
complete -c nbd -n '__nbd_using ""' -l output -x -a 'human json' -d 'How -L prints'
complete -c nbd -n '__nbd_using ""' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the image; guessed when not given'
complete -c nbd -n '__nbd_using ""' -l image-opts -d 'FILE is a list of options'
complete -c nbd -n '__nbd_using ""' -s r -l read-only -d 'Let nobody write'
complete -c nbd -n '__nbd_using ""' -s s -l snapshot -d 'Let writes go to a temporary overlay'
complete -c nbd -n '__nbd_using ""' -s l -l load-snapshot -x -d 'Serve an internal snapshot, by id or name or as snapshot.id=ID,snapshot.name=NAME'
complete -c nbd -n '__nbd_using ""' -s n -l nocache -d 'Bypass the page cache, as --cache=none'
complete -c nbd -n '__nbd_using ""' -l cache -x -a 'none writeback writethrough directsync unsafe' -d 'Cache mode'
complete -c nbd -n '__nbd_using ""' -l aio -x -a 'threads' -d 'How requests that have to wait are carried out'
complete -c nbd -n '__nbd_using ""' -l discard -x -a 'ignore off unmap on' -d 'Whether discards are passed on: ignore or unmap'
complete -c nbd -n '__nbd_using ""' -l detect-zeroes -x -a 'off on unmap' -d 'Write zeroes as such where data is all zero'
complete -c nbd -n '__nbd_using ""' -s c -l connect -r -F -d 'Make the image a disk of this machine'
complete -c nbd -n '__nbd_using ""' -s d -l disconnect -d 'Take the disk FILE'
complete -c nbd -n '__nbd_using ""' -l object -x -a '(__nbd_objects)' -d 'Define an object'
complete -c nbd -n '__nbd_using ""' -l tls-creds -x -d 'Credentials for TLS'
complete -c nbd -n '__nbd_using ""' -l tls-authz -x -d 'Who may connect, by an authorisation object'
complete -c nbd -n '__nbd_using ""' -l tls-optional -d 'Serve clients that do not ask for TLS as well, in plain text'
complete -c nbd -n '__nbd_using ""' -l tls-hostname -x -d 'Name that the certificate of the server must have'
complete -c nbd -n '__nbd_using ""' -l fork -d 'Go into the background once clients can connect'
complete -c nbd -n '__nbd_using ""' -l pid-file -r -F -d 'File that holds the number of the process while it runs'
complete -c nbd -n '__nbd_using ""' -s v -l verbose -d 'With --fork, keep standard error'
complete -c nbd -n '__nbd_using ""' -l log -x -a 'text json' -d 'Tell of clients and failures on standard error, in lines or as JSON, an object a line'
complete -c nbd -n '__nbd_using ""' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c nbd -n '__nbd_using ""' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c nbd -n '__nbd_using ""' -l trace -r -F -d 'Record all requests to the opened images in FILE'
complete -c nbd -n '__nbd_using ""' -s T -x -d 'Accepted for compatibility'
complete -c nbd -n '__nbd_using ""' -s V -l version -d 'Show the version'
complete -c nbd -n '__nbd_using ""' -l blockdev -x -d 'Open a node'
complete -c nbd -n '__nbd_using ""' -l chardev -x -d 'Have a place for a control client'
complete -c nbd -n '__nbd_using ""' -l monitor -x -d 'Take control clients at a chardev: chardev=ID[,pretty=on]'
complete -c nbd -n '__nbd_using ""' -l qmp -x -d 'Take control clients at unix:PATH, tcp:HOST:PORT'
complete -c nbd -n '__nbd_using ""' -l nbd-server -x -d 'Listen for NBD clients'
complete -c nbd -n '__nbd_using ""' -l stats -x -d 'Send the statistics to every reader of that socket as JSON Lines, every S seconds'
complete -c nbd -n '__nbd_using ""' -l metrics -x -d 'Show the statistics in Prometheus\' text format at http://HOST:PORT/metrics'
complete -c nbd -n '__nbd_using ""' -l daemonize -d 'Go into the background once all is ready'
complete -c nbd -n '__nbd_using ""' -l pidfile -r -F -d 'Write the number of the process to a file'
complete -c nbd -n '__nbd_using ""' -s h -l help -d 'Show this help'

complete -c nbd -n __nbd_first -a help -d 'Show the commands there are, or tell about one'
complete -c nbd -n '__nbd_using help' -f -a 'help completion'
complete -c nbd -n '__nbd_using help' -s h -l help -d 'Show this help'

complete -c nbd -n __nbd_first -a completion -d 'Print a script that completes command lines in a shell'
complete -c nbd -n '__nbd_using completion' -f -a 'bash zsh fish'
complete -c nbd -n '__nbd_using completion' -s h -l help -d 'Show this help'
