;;; Emacs that sends with tokens from xoauthd: for ~/.emacs.d/init.el. It holds no secret.

(require 'auth-source)
(require 'cl-lib)
(require 'smtpmail)
(require 'subr-x)

(defun xoauthd-token ()
  "A token for the SMTP server, or an error that says why there is none."
  (let ((complaint (make-temp-file "xoauthd")))
    (unwind-protect
        (with-temp-buffer
          (unless (eq 0 (call-process "xoauthd-token" nil (list t complaint) nil
                                      "me@example.org" "--service" "smtp"))
            (insert-file-contents complaint nil nil nil t)
            (error "%s" (string-trim (buffer-string))))
          (string-trim (buffer-string)))
      (delete-file complaint))))

;; Asked for each mail. Without :smtp-auth smtpmail would not think of XOAUTH2.
(cl-defun xoauthd-search (&key host &allow-other-keys)
  (when (equal host "smtp.gmail.com")
    (list (list :host host :user "me@example.org" :smtp-auth "xoauth2" :secret #'xoauthd-token))))

(defun xoauthd-backend (entry)
  (when (eq entry 'xoauthd)
    (auth-source-backend-parse-parameters
     entry (auth-source-backend :type 'xoauthd :source "xoauthd" :search-function #'xoauthd-search))))

(add-hook 'auth-source-backend-parser-functions #'xoauthd-backend)
(add-to-list 'auth-sources 'xoauthd)

(setq user-mail-address "me@example.org"
      send-mail-function #'smtpmail-send-it
      message-send-mail-function #'smtpmail-send-it
      smtpmail-smtp-server "smtp.gmail.com"
      smtpmail-smtp-service 465
      smtpmail-stream-type 'ssl
      smtpmail-smtp-user "me@example.org")
