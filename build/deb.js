// Makes a Debian package, xoauthd_VERSION_all.deb, in the folder that is given (default: here). It needs
// dpkg-deb, and dist/ as `npm run build` leaves it. The package depends on nodejs alone.
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const source = fileURLToPath(new URL('..', import.meta.url))
const target = resolve(process.argv[2] ?? '.')
const { version, bin, license } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'))

// DPKG_ROOT is where a package is installed to when that is not this very machine.
const installed = `#!/bin/sh
set -e
if [ "$1" = configure ]; then
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers \${DPKG_ROOT:+--root="$DPKG_ROOT"} xoauthd.conf
  fi
  if [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # A new version takes over; the sockets stay open meanwhile.
    systemctl try-restart xoauthd.service
  fi
fi
`
// Purging takes the sign-ins, the configuration and the sockets away. The user stays, as Debian's packages
// leave theirs: files of its own may lie elsewhere ([store] path), and the next user would get its number and
// with that the files. Nobody can log in as it. To be rid of it: deluser --system xoauthd.
const removed = `#!/bin/sh
set -e
if [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
if [ "$1" = purge ]; then
  rm -rf "$DPKG_ROOT/var/lib/xoauthd" "$DPKG_ROOT/etc/xoauthd" "$DPKG_ROOT/run/xoauthd"
fi
`
const before = `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
  systemctl disable --now xoauthd.service xoauthd.socket xoauthd-exim.socket || true
fi
`
const stage = mkdtempSync(join(tmpdir(), 'xoauthd-deb-'))

try {
  // What npm would install, in one folder; the program finds its units and its version beside itself.
  for (const name of ['bin', 'dist', 'systemd', 'package.json', 'LICENSE'])
    copy(name, `usr/lib/xoauthd/${name}`)
  for (const [name, path] of Object.entries(bin)) link(`../lib/xoauthd/${path}`, `usr/bin/${name}`)
  for (const name of ['docs', 'examples', 'README.md', 'CHANGELOG.md'])
    copy(name, `usr/share/doc/xoauthd/${name}`)
  copy('LICENSE', 'usr/share/doc/xoauthd/copyright')
  for (const name of readdirSync(join(source, 'man')))
    write(
      `usr/share/man/man${name.at(-1)}/${name}.gz`,
      gzipSync(readFileSync(join(source, 'man', name)), { level: 9 }),
    )
  for (const [shell, path] of Object.entries({
    bash: 'usr/share/bash-completion/completions/xoauthd',
    zsh: 'usr/share/zsh/vendor-completions/_xoauthd',
    fish: 'usr/share/fish/vendor_completions.d/xoauthd.fish',
  }))
    write(
      path,
      execFileSync(process.execPath, [join(source, 'bin/xoauthd.js'), 'completion', shell]),
    )
  for (const manager of ['system', 'user'])
    for (const name of readdirSync(join(source, 'systemd', manager)))
      write(
        `usr/lib/systemd/${manager}/${name}`,
        readFileSync(join(source, 'systemd', manager, name), 'utf8').replace(
          /^ExecStart=\/usr\/bin\/env xoauthd /m,
          'ExecStart=/usr/bin/xoauthd ',
        ),
      )
  write(
    'usr/lib/sysusers.d/xoauthd.conf',
    'u xoauthd - "keeps OAuth2 tokens for mail" /var/lib/xoauthd\n',
  )
  mkdirSync(join(stage, 'etc/xoauthd'), { recursive: true })
  write('DEBIAN/control', control())
  script('postinst', installed)
  script('prerm', before)
  script('postrm', removed)
  execFileSync('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', stage, target], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  process.stdout.write(`${join(target, `xoauthd_${version}_all.deb`)}\n`)
} finally {
  rmSync(stage, { recursive: true, force: true })
}

function copy(from, to) {
  if (!existsSync(join(source, from))) throw new Error(`${from} is missing: npm run build`)
  cpSync(join(source, from), join(stage, to), { recursive: true })
}

function link(to, path) {
  mkdirSync(dirname(join(stage, path)), { recursive: true })
  symlinkSync(to, join(stage, path))
}

function write(path, content) {
  mkdirSync(dirname(join(stage, path)), { recursive: true })
  writeFileSync(join(stage, path), content)
}

function script(name, text) {
  write(`DEBIAN/${name}`, text)
  execFileSync('chmod', ['0755', join(stage, 'DEBIAN', name)])
}

function control() {
  const size = execFileSync('du', ['-sk', stage], { encoding: 'utf8' }).split('\t')[0]
  return `Package: xoauthd
Version: ${version}
Architecture: all
Maintainer: the xoauthd developers <maintainers@xoauthd.invalid>
Installed-Size: ${size}
Depends: nodejs (>= 20.19)
Recommends: socat | perl
Section: mail
Priority: optional
Description: keeps OAuth2 tokens for mail fresh (${license})
 Gmail, Microsoft 365 and others accept only OAuth2 from mail programs.
 xoauthd reads a list of accounts, keeps a fresh token for each, and hands
 it to exim, msmtp, mbsync, postfix and others over a UNIX socket.
`
}
