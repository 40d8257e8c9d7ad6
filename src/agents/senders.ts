/** Agents that send what one person writes: msmtp, s-nail, Emacs. */
import { program, schemeOf, type Agent } from './agent.ts'

export const msmtp: Agent = {
  name: 'msmtp',
  summary: 'sends mail, without a queue',
  version: '1.8.23',
  services: ['smtp'],
  requires: [program('msmtp')],
  limit: { of: 'string', bytes: 3069 },
  files(at) {
    const { mailbox, login, host, port, startTls, tokenCommand, caFile } = at('smtp')
    const text = `# msmtp that signs in with tokens from xoauthd. This file is ~/.msmtprc or ~/.config/msmtp/config; it
# holds no secret. For another address add an account of its own; \`msmtp -a\` picks one, and
# \`msmtp --read-envelope-from\` picks by the sender.

defaults
tls on
tls_starttls ${startTls ? 'on' : 'off'}
tls_trust_file ${caFile}
# Not "on": among the methods that msmtp chooses from by itself XOAUTH2 is not.
auth xoauth2

account me
host ${host}
port ${port}
from ${mailbox}
user ${login}
# msmtp sends the first line of what this prints and does not look at the exit status. On failure
# xoauthd prints nothing there, so msmtp stops, and its reason and hint are on the terminal.
passwordeval "${tokenCommand}"

account default : me
`
    return [{ name: 'msmtprc', path: '~/.msmtprc', text }]
  },
}

export const sNail: Agent = {
  name: 's-nail',
  summary: 'reads and sends mail by command; here it sends',
  version: '14.9.24',
  services: ['smtp'],
  requires: [program('s-nail')],
  limit: { of: 'string', bytes: 5814 },
  files(at) {
    const door = at('smtp')
    const { mailbox, login, host, port, startTls, tokenCommand, caFile } = door
    const url = `${schemeOf('smtp', door)}://${encodeURIComponent(login)}@${host}:${port}`
    const text = `# s-nail that signs in with tokens from xoauthd, for ~/.mailrc. Used as \`s-nail -A me\`.
account me {
  set v15-compat
  set from=${mailbox}
  set mta=${url}${startTls ? ' smtp-use-starttls' : ''}
  # What it calls OAUTHBEARER goes out as XOAUTH2.
  set smtp-auth=oauthbearer
  set tls-verify=strict tls-ca-file=${caFile}
  # Asked for when the account is chosen. The token goes through a pipe, so that no list of processes
  # shows it. An empty password would be offered: on failure there is to be none at all.
  vput ! password ${tokenCommand}
  if "$password" == ""
    unset password
  end
  # Otherwise it says nothing of a failure.
  set sendwait
}
`
    return [{ name: 'mailrc', path: '~/.mailrc', text }]
  },
}

export const emacs: Agent = {
  name: 'emacs',
  summary: "sends mail with Emacs's own smtpmail",
  version: '28.2',
  services: ['smtp'],
  requires: [program('emacs', 'emacs-nox')],
  files(at) {
    const { mailbox, login, host, port, startTls, tokenArguments } = at('smtp')
    const [command, ...words] = tokenArguments.map((word) => `"${word}"`)
    const text = `;;; Emacs that sends with tokens from xoauthd: for ~/.emacs.d/init.el. It holds no secret.

(require 'auth-source)
(require 'cl-lib)
(require 'smtpmail)
(require 'subr-x)

(defun xoauthd-token ()
  "A token for the SMTP server, or an error that says why there is none."
  (let ((complaint (make-temp-file "xoauthd")))
    (unwind-protect
        (with-temp-buffer
          (unless (eq 0 (call-process ${command ?? ''} nil (list t complaint) nil
                                      ${words.join(' ')}))
            (insert-file-contents complaint nil nil nil t)
            (error "%s" (string-trim (buffer-string))))
          (string-trim (buffer-string)))
      (delete-file complaint))))

;; Asked for each mail. Without :smtp-auth smtpmail would not think of XOAUTH2.
(cl-defun xoauthd-search (&key host &allow-other-keys)
  (when (equal host "${host}")
    (list (list :host host :user "${login}" :smtp-auth "xoauth2" :secret #'xoauthd-token))))

(defun xoauthd-backend (entry)
  (when (eq entry 'xoauthd)
    (auth-source-backend-parse-parameters
     entry (auth-source-backend :type 'xoauthd :source "xoauthd" :search-function #'xoauthd-search))))

(add-hook 'auth-source-backend-parser-functions #'xoauthd-backend)
(add-to-list 'auth-sources 'xoauthd)

(setq user-mail-address "${mailbox}"
      send-mail-function #'smtpmail-send-it
      message-send-mail-function #'smtpmail-send-it
      smtpmail-smtp-server "${host}"
      smtpmail-smtp-service ${port}
      smtpmail-stream-type '${startTls ? 'starttls' : 'ssl'}
      smtpmail-smtp-user "${login}")
`
    return [{ name: 'xoauthd.el', path: '~/.emacs.d/init.el', text }]
  },
}
