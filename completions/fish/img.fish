# fish completion for img
# Generated from the command records by 'img completion fish'; do not edit.

# The command of the line; nothing where there is none before the cursor
function __img_command
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case --trace -T
                set -e words[1]
            case '-*'
            case '*'
                break
        end
        set -e words[1]
    end
    if contains -- "$words[1]" create info convert dd map checksum compare diff inspect check measure bench amend snapshot bitmap commit rebase resize help completion
        echo $words[1]
    else if set -q words[1]
        echo '?'
    end
end

function __img_using
    test "$(__img_command)" = "$argv[1]"
end

function __img_first
    __img_using ""
end

# Keys as NAME=, a tab and their help: TABLE NAME
function __img_keys
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
function __img_key_values
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
function __img_value_token
    commandline -ct | string replace -r '^(--[\w-]+=|-\w(?!=))' ''
end

# What the list NAME=VALUE,... can go on with: TABLE NAME
function __img_pairs
    set -l value (__img_value_token)
    set -l last (string replace -r '^.*,' '' -- $value)
    set -l head (string replace -r '[^,]*$' '' -- $value)
    if string match -q '*=*' -- $last
        set -l key (string replace -r '=.*' '' -- $last)
        set -l found (__img_key_values $argv $key)
        if set -q found[1]
            printf "%s\n" $head$key=$found
        else
            __fish_complete_path (string replace -r '^[^=]*=' '' -- $last) | string replace -r '^' -- $head$key=
        end
    else
        printf "%s\n" $head(__img_keys $argv)
    end
end

# Keys of the format that one of the options names: TABLE FALLBACK OPTION...
function __img_format_keys
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
    __img_pairs $argv[1] $of
end

function __img_objects
    set -l value (__img_value_token)
    if string match -q "*,*" -- $value
        __img_pairs object (string replace -r ',.*' '' -- $value)
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

complete -c img -n '__img_using ""' -f
complete -c img -n '__img_using ""' -s h -l help -d 'Show this help'
complete -c img -n '__img_using ""' -s V -l version -d 'Show the version'
complete -c img -n '__img_using ""' -l trace -r -F -d 'Record all requests to the opened images in FILE'
complete -c img -n '__img_using ""' -s T -x -d 'Accepted for compatibility'

complete -c img -n __img_first -a create -d 'Make a new, empty image'
complete -c img -n '__img_using create' -s f -l format -x -a 'file host_device luks nbd qcow2 raw' -d 'Format of the image'
complete -c img -n '__img_using create' -s b -l backing -r -F -d 'Backing file: what the image is put on top of'
complete -c img -n '__img_using create' -s F -l backing-format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the backing file'
complete -c img -n '__img_using create' -s u -l backing-unsafe -d 'Do not open the backing file'
complete -c img -n '__img_using create' -s o -l options -x -a '(__img_format_keys create raw -f --format)' -d 'Options of the format; \'-o help\' lists them'
complete -c img -n '__img_using create' -s q -l quiet -d 'Print errors only'
complete -c img -n '__img_using create' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using create' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using create' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using create' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a info -d 'Show what an image is'
complete -c img -n '__img_using info' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the image; guessed from its content when not given'
complete -c img -n '__img_using info' -l image-opts -d 'FILE is a list of options'
complete -c img -n '__img_using info' -l output -x -a 'human json' -d 'How to print the result'
complete -c img -n '__img_using info' -l backing-chain -d 'Show the backing files too, each by itself, top first'
complete -c img -n '__img_using info' -s U -l force-share -d 'Open the image even while another program writes to it'
complete -c img -n '__img_using info' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using info' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using info' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using info' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a convert -d 'Copy disks into a new image, or one that exists, of any format'
complete -c img -n '__img_using convert' -s f -l source-format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the sources; guessed when not given'
complete -c img -n '__img_using convert' -s O -l target-format -x -a 'file host_device luks nbd qcow2 raw' -d 'Format of the target'
complete -c img -n '__img_using convert' -s o -l options -x -a '(__img_format_keys create raw -O --target-format)' -d 'Options of the format; \'-o help\' lists them'
complete -c img -n '__img_using convert' -s c -d 'Store the data compressed'
complete -c img -n '__img_using convert' -s n -d 'The target exists: do not make it'
complete -c img -n '__img_using convert' -s p -l progress -f -a 'human json' -d 'Show progress'
complete -c img -n '__img_using convert' -s q -l quiet -d 'Print errors only'
complete -c img -n '__img_using convert' -s t -x -a 'none writeback writethrough directsync unsafe' -d 'Cache mode for writing'
complete -c img -n '__img_using convert' -s T -x -a 'none writeback writethrough directsync unsafe' -d 'Cache mode for reading'
complete -c img -n '__img_using convert' -s S -x -d 'Zeroes at least this long become holes, a multiple of 512, 4k by default'
complete -c img -n '__img_using convert' -s m -x -d 'Requests under way at any time, 1 to 16, 8 by default'
complete -c img -n '__img_using convert' -s W -d 'Let writes begin in any order'
complete -c img -n '__img_using convert' -s r -x -d 'Copy at most this many bytes per second; 0 for no limit'
complete -c img -n '__img_using convert' -s C -d 'Have the kernel copy where it can'
complete -c img -n '__img_using convert' -s B -r -F -d 'Make the target an overlay of FILE'
complete -c img -n '__img_using convert' -s F -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the backing file'
complete -c img -n '__img_using convert' -s U -l force-share -d 'Open the image even while another program writes to it'
complete -c img -n '__img_using convert' -l target-is-zero -d 'The target reads as zeroes: write none'
complete -c img -n '__img_using convert' -l salvage -d 'Put zeroes where the source cannot be read, and go on'
complete -c img -n '__img_using convert' -l image-opts -d 'FILE is a list of options'
complete -c img -n '__img_using convert' -l target-image-opts -d 'TARGET is a list of options, not a name'
complete -c img -n '__img_using convert' -s l -x -d 'Read this internal snapshot'
complete -c img -n '__img_using convert' -l bitmaps -d 'Copy the bitmaps kept in the image too'
complete -c img -n '__img_using convert' -l skip-broken-bitmaps -d 'Leave out broken bitmaps'
complete -c img -n '__img_using convert' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using convert' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using convert' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using convert' -l verify -d 'Read the target again, from its medium, and compare it with what was read of the sources'
complete -c img -n '__img_using convert' -l cache-manners -x -a 'auto off' -d 'Whether the page cache is left as it was found'
complete -c img -n '__img_using convert' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a dd -d 'Copy a part of a disk into a new image, as dd does'
complete -c img -n '__img_using dd' -a 'if= of= bs= count= skip='
complete -c img -n '__img_using dd' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the input; guessed from its content when not given'
complete -c img -n '__img_using dd' -s O -l target-format -x -a 'file host_device luks nbd qcow2 raw' -d 'Format of the output'
complete -c img -n '__img_using dd' -l image-opts -d 'The input is a list of options'
complete -c img -n '__img_using dd' -s U -l force-share -d 'Open the image even while another program writes to it'
complete -c img -n '__img_using dd' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using dd' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using dd' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using dd' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a map -d 'Show where the data of an image lies'
complete -c img -n '__img_using map' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the image; guessed from its content when not given'
complete -c img -n '__img_using map' -l image-opts -d 'FILE is a list of options'
complete -c img -n '__img_using map' -s s -l start-offset -x -d 'Where on the disk to begin'
complete -c img -n '__img_using map' -s l -l max-length -x -d 'How much of the disk to show; by default up to its end'
complete -c img -n '__img_using map' -l output -x -a 'human json' -d 'How to print the result'
complete -c img -n '__img_using map' -l html -r -F -d 'Draw the map, by kind and layer of the chain, on a page that needs no network, and print nothing'
complete -c img -n '__img_using map' -l svg -r -F -d 'The same as a picture alone'
complete -c img -n '__img_using map' -s U -l force-share -d 'Open the image even while another program writes to it'
complete -c img -n '__img_using map' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using map' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using map' -l strict-base -d 'Refuse an image when its backing file was written to since the image was made on it, which is warned of otherwise, or the length or time of that file is another one'
complete -c img -n '__img_using map' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a checksum -d 'Print a checksum of the content of a disk'
complete -c img -n '__img_using checksum' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the images'
complete -c img -n '__img_using checksum' -l image-opts -d 'FILE is a list of options'
complete -c img -n '__img_using checksum' -s a -l algorithm -x -a 'sha256 sha512 sha1 blake2b512 blake2s256 sha3-256' -d 'Hash function'
complete -c img -n '__img_using checksum' -l expect -x -d 'Compare with this line or its HEX part, and end with 1 where it is another'
complete -c img -n '__img_using checksum' -l output -x -a 'human json' -d 'How to print the result'
complete -c img -n '__img_using checksum' -s T -x -a 'none writeback writethrough directsync unsafe' -d 'Cache mode for reading'
complete -c img -n '__img_using checksum' -s p -l progress -f -a 'human json' -d 'Show progress'
complete -c img -n '__img_using checksum' -s q -l quiet -d 'Print errors only'
complete -c img -n '__img_using checksum' -s U -l force-share -d 'Open the image even while another program writes to it'
complete -c img -n '__img_using checksum' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using checksum' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using checksum' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using checksum' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a compare -d 'Compare the content of two images'
complete -c img -n '__img_using compare' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of FILE1; guessed from its content when not given'
complete -c img -n '__img_using compare' -s F -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of FILE2; guessed from its content when not given'
complete -c img -n '__img_using compare' -l image-opts -d 'FILE1 and FILE2 are lists of options'
complete -c img -n '__img_using compare' -s s -l strict -d 'Sizes must agree, and what is allocated, data or zeroes, too'
complete -c img -n '__img_using compare' -s T -x -a 'none writeback writethrough directsync unsafe' -d 'Cache mode for reading'
complete -c img -n '__img_using compare' -s p -l progress -f -a 'human json' -d 'Show progress'
complete -c img -n '__img_using compare' -s q -l quiet -d 'Print errors only'
complete -c img -n '__img_using compare' -s U -l force-share -d 'Open the image even while another program writes to it'
complete -c img -n '__img_using compare' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using compare' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using compare' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using compare' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a diff -d 'List where the content of two images differs'
complete -c img -n '__img_using diff' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of FILE1; guessed from its content when not given'
complete -c img -n '__img_using diff' -s F -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of FILE2; guessed from its content when not given'
complete -c img -n '__img_using diff' -l image-opts -d 'FILE1 and FILE2 are lists of options'
complete -c img -n '__img_using diff' -s g -l granularity -x -d 'Ranges begin and end at multiples of this, a power of two up to 1M'
complete -c img -n '__img_using diff' -l output -x -a 'human json' -d 'How to print the result'
complete -c img -n '__img_using diff' -s T -x -a 'none writeback writethrough directsync unsafe' -d 'Cache mode for reading'
complete -c img -n '__img_using diff' -s p -l progress -f -a 'human json' -d 'Show progress'
complete -c img -n '__img_using diff' -s q -l quiet -d 'Print nothing: the answer is the exit status'
complete -c img -n '__img_using diff' -s U -l force-share -d 'Open the image even while another program writes to it'
complete -c img -n '__img_using diff' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using diff' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using diff' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using diff' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a inspect -d 'Judge an image of unknown origin before anything trusts it'
complete -c img -n '__img_using inspect' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the image; guessed from its content when not given'
complete -c img -n '__img_using inspect' -l untrusted -d 'Whatever other file the image names is a risk, wherever it lies'
complete -c img -n '__img_using inspect' -l max-size -x -d 'A longer disk is a risk'
complete -c img -n '__img_using inspect' -l no-check -d 'Do not look for errors in the tables, which takes time for large images'
complete -c img -n '__img_using inspect' -l output -x -a 'human json' -d 'How to print the result'
complete -c img -n '__img_using inspect' -s q -l quiet -d 'Print nothing: the verdict is the exit status'
complete -c img -n '__img_using inspect' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a check -d 'Check the structure of an image for errors'
complete -c img -n '__img_using check' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the image; guessed from its content when not given'
complete -c img -n '__img_using check' -l image-opts -d 'FILE is a list of options'
complete -c img -n '__img_using check' -l output -x -a 'human json' -d 'How to print the result'
complete -c img -n '__img_using check' -s r -l repair -x -a 'leaks all' -d 'Repair leaked clusters only, or all that can be repaired'
complete -c img -n '__img_using check' -l dry-run -d 'With -r, say what would be repaired and change nothing'
complete -c img -n '__img_using check' -s T -x -a 'none writeback writethrough directsync unsafe' -d 'Cache mode for reading'
complete -c img -n '__img_using check' -s q -l quiet -d 'Print errors only'
complete -c img -n '__img_using check' -s U -l force-share -d 'Open the image even while another program writes to it'
complete -c img -n '__img_using check' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using check' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a measure -d 'Show how large a new image would become'
complete -c img -n '__img_using measure' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of FILE; guessed from its content when not given'
complete -c img -n '__img_using measure' -l image-opts -d 'FILE is a list of options'
complete -c img -n '__img_using measure' -s O -l target-format -x -a 'file host_device luks nbd qcow2 raw' -d 'Format of the new image'
complete -c img -n '__img_using measure' -s o -l options -x -a '(__img_format_keys create raw -O --target-format)' -d 'Options of the format; \'-o help\' lists them'
complete -c img -n '__img_using measure' -l size -x -d 'Measure an empty disk of this size, not a FILE'
complete -c img -n '__img_using measure' -s l -x -d 'Read this internal snapshot'
complete -c img -n '__img_using measure' -l output -x -a 'human json' -d 'How to print the result'
complete -c img -n '__img_using measure' -s U -l force-share -d 'Open the image even while another program writes to it'
complete -c img -n '__img_using measure' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using measure' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using measure' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using measure' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a bench -d 'Measure how fast an image can be read or written'
complete -c img -n '__img_using bench' -s c -x -d 'Requests to send'
complete -c img -n '__img_using bench' -s d -x -d 'Requests under way at any time'
complete -c img -n '__img_using bench' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the image; guessed from its content when not given'
complete -c img -n '__img_using bench' -s i -x -a 'threads' -d 'How requests that have to wait are carried out'
complete -c img -n '__img_using bench' -s n -d 'The same as -i native, which is refused'
complete -c img -n '__img_using bench' -s o -x -d 'Where on the disk to begin'
complete -c img -n '__img_using bench' -s s -x -d 'Bytes of a request'
complete -c img -n '__img_using bench' -s S -x -d 'Bytes from the start of one request to the next'
complete -c img -n '__img_using bench' -s t -x -a 'none writeback writethrough directsync unsafe' -d 'Cache mode'
complete -c img -n '__img_using bench' -s w -d 'Write; the content of the image is lost'
complete -c img -n '__img_using bench' -l pattern -x -d 'The byte that is written, 0 to 255'
complete -c img -n '__img_using bench' -l flush-interval -x -d 'Flush after each COUNT writes, not fewer than -d'
complete -c img -n '__img_using bench' -l no-drain -d 'Go on writing while a flush waits'
complete -c img -n '__img_using bench' -s q -l quiet -d 'Accepted for compatibility'
complete -c img -n '__img_using bench' -s U -l force-share -d 'Open the image even while another program writes to it'
complete -c img -n '__img_using bench' -l image-opts -d 'FILE is a list of options'
complete -c img -n '__img_using bench' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using bench' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using bench' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using bench' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a amend -d 'Change options of an existing image'
complete -c img -n '__img_using amend' -s o -l options -x -a '(__img_format_keys amend qcow2 -f --format)' -d 'What to change; \'-o help\' lists the options'
complete -c img -n '__img_using amend' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the image; guessed from its content when not given'
complete -c img -n '__img_using amend' -l image-opts -d 'FILE is a list of options'
complete -c img -n '__img_using amend' -s t -x -a 'none writeback writethrough directsync unsafe' -d 'Cache mode for writing'
complete -c img -n '__img_using amend' -l force -d 'Do also what may make data unreachable, such as erasing the last password'
complete -c img -n '__img_using amend' -s p -l progress -f -a 'human json' -d 'Show progress'
complete -c img -n '__img_using amend' -s q -l quiet -d 'Print errors only'
complete -c img -n '__img_using amend' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using amend' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using amend' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using amend' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a snapshot -d 'List, make, apply or remove the snapshots within an image'
complete -c img -n '__img_using snapshot' -s l -l list -d 'List the snapshots'
complete -c img -n '__img_using snapshot' -s c -l create -x -d 'Make a snapshot of that name'
complete -c img -n '__img_using snapshot' -s a -l apply -x -d 'Put the disk back to a snapshot'
complete -c img -n '__img_using snapshot' -s d -l delete -x -d 'Remove a snapshot'
complete -c img -n '__img_using snapshot' -l sizes -d 'List the bytes too that each snapshot alone holds'
complete -c img -n '__img_using snapshot' -l output -x -a 'human json' -d 'How to print the result'
complete -c img -n '__img_using snapshot' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the image; guessed from its content when not given'
complete -c img -n '__img_using snapshot' -l image-opts -d 'FILE is a list of options'
complete -c img -n '__img_using snapshot' -s q -l quiet -d 'Print errors only; a list is printed all the same'
complete -c img -n '__img_using snapshot' -s U -l force-share -d 'Open the image even while another program writes to it'
complete -c img -n '__img_using snapshot' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using snapshot' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using snapshot' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using snapshot' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a bitmap -d 'Make, change and remove the dirty bitmaps kept in an image'
complete -c img -n '__img_using bitmap' -l add -d 'Make the bitmap, clean and enabled'
complete -c img -n '__img_using bitmap' -l remove -d 'Remove it'
complete -c img -n '__img_using bitmap' -l clear -d 'Make it clean'
complete -c img -n '__img_using bitmap' -l enable -d 'Let it record'
complete -c img -n '__img_using bitmap' -l disable -d 'Let it record no more'
complete -c img -n '__img_using bitmap' -l merge -x -d 'Add what is dirty in the bitmap SOURCE, of the same image or that of -b'
complete -c img -n '__img_using bitmap' -s b -l source-file -r -F -d 'Image of the bitmap to be merged'
complete -c img -n '__img_using bitmap' -s F -l source-format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of that image'
complete -c img -n '__img_using bitmap' -s g -l granularity -x -d 'Bytes that one bit stands for, a power of two from 512 to 2G'
complete -c img -n '__img_using bitmap' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the image; guessed from its content when not given'
complete -c img -n '__img_using bitmap' -l image-opts -d 'FILE is a list of options'
complete -c img -n '__img_using bitmap' -s p -l progress -f -a 'human json' -d 'Show progress'
complete -c img -n '__img_using bitmap' -s q -l quiet -d 'Print errors only'
complete -c img -n '__img_using bitmap' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using bitmap' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using bitmap' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using bitmap' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a commit -d 'Bring what an image holds into its backing file'
complete -c img -n '__img_using commit' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the image; guessed from its content when not given'
complete -c img -n '__img_using commit' -l image-opts -d 'FILE is a list of options'
complete -c img -n '__img_using commit' -s b -r -F -d 'The image of the backing chain to write to'
complete -c img -n '__img_using commit' -s d -d 'Do not empty FILE afterwards'
complete -c img -n '__img_using commit' -s t -x -a 'none writeback writethrough directsync unsafe' -d 'Cache mode for writing'
complete -c img -n '__img_using commit' -s r -x -d 'Write at most this many bytes per second'
complete -c img -n '__img_using commit' -s p -l progress -f -a 'human json' -d 'Show progress'
complete -c img -n '__img_using commit' -s q -l quiet -d 'Print errors only'
complete -c img -n '__img_using commit' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using commit' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using commit' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using commit' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a rebase -d 'Give an image another backing file'
complete -c img -n '__img_using rebase' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the image; guessed from its content when not given'
complete -c img -n '__img_using rebase' -l image-opts -d 'FILE is a list of options'
complete -c img -n '__img_using rebase' -s u -d 'Change the name only, and look at no backing file'
complete -c img -n '__img_using rebase' -s b -r -F -d 'The new backing file, relative to the image; \'\' for none'
complete -c img -n '__img_using rebase' -s F -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the new backing file'
complete -c img -n '__img_using rebase' -s c -l compress -d 'Store what is written compressed'
complete -c img -n '__img_using rebase' -s t -x -a 'none writeback writethrough directsync unsafe' -d 'Cache mode for writing'
complete -c img -n '__img_using rebase' -s T -x -a 'none writeback writethrough directsync unsafe' -d 'Cache mode for reading'
complete -c img -n '__img_using rebase' -s U -l force-share -d 'Open the new backing file even while another program writes to it'
complete -c img -n '__img_using rebase' -s p -l progress -f -a 'human json' -d 'Show progress'
complete -c img -n '__img_using rebase' -s q -l quiet -d 'Print errors only'
complete -c img -n '__img_using rebase' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using rebase' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using rebase' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using rebase' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a resize -d 'Make the disk of an image longer or shorter'
complete -c img -n '__img_using resize' -s f -l format -x -a 'file host_device luks nbd null-aio null-co qcow2 quorum raw snapshot snapshot-access' -d 'Format of the image; guessed from its content when not given'
complete -c img -n '__img_using resize' -l image-opts -d 'FILE is a list of options'
complete -c img -n '__img_using resize' -l preallocation -x -a 'off metadata falloc full' -d 'Space to take at once for what is added'
complete -c img -n '__img_using resize' -l shrink -d 'Allow the disk to become shorter'
complete -c img -n '__img_using resize' -s q -l quiet -d 'Print errors only'
complete -c img -n '__img_using resize' -l object -x -a '(__img_objects)' -d 'Define an object'
complete -c img -n '__img_using resize' -l refs -x -a 'none same-dir all' -d 'Which other files an image may cause to be opened'
complete -c img -n '__img_using resize' -l strict-base -d 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one'
complete -c img -n '__img_using resize' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a help -d 'Show the commands there are, or tell about one'
complete -c img -n '__img_using help' -f -a 'create info convert dd map checksum compare diff inspect check measure bench amend snapshot bitmap commit rebase resize help completion'
complete -c img -n '__img_using help' -s h -l help -d 'Show this help'

complete -c img -n __img_first -a completion -d 'Print a script that completes command lines in a shell'
complete -c img -n '__img_using completion' -f -a 'bash zsh fish'
complete -c img -n '__img_using completion' -s h -l help -d 'Show this help'
