#!/usr/bin/env python3
"""Sends a mail as a shared mailbox of Microsoft 365 through SMTP, with the token of one delegate.

    send.py team@uni.example someone@example.net 'A subject' < text

xoauthd holds the sign-in and puts the right name into the credential: the delegate's, who has the right
"Send as", while the envelope and the From line have the shared address. Needs Python 3.8 and nothing else.
"""

import os
import smtplib
import socket
import ssl
import sys
from email.message import EmailMessage

SOCKET = os.environ.get(
    "XOAUTHD_SOCKET",
    os.path.join(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"), "xoauthd/socket"),
)
HOST = os.environ.get("SMTP_HOST", "smtp.office365.com")
PORT = int(os.environ.get("SMTP_PORT", "587"))
# sysexits.h: try again later
EX_TEMPFAIL = 75


def credential(service, mailbox):
    """Asks xoauthd; with "explain" a failure is a line that begins with ERR and says what to do."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as daemon:
        daemon.settimeout(30)
        daemon.connect(SOCKET)
        daemon.sendall(f"{service},explain,wait=20 {mailbox}\n".encode())
        parts = []
        while part := daemon.recv(65536):
            parts.append(part)
    answer = b"".join(parts).decode()
    if not answer or answer.startswith("ERR "):
        print(f"send.py: {answer.strip() or 'xoauthd gave no answer'}", file=sys.stderr)
        sys.exit(EX_TEMPFAIL)
    return answer


def main():
    sender, recipient, subject = sys.argv[1:4]
    message = EmailMessage()
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = subject
    message.set_content(sys.stdin.read())

    xoauth2 = credential("SMTP", sender)

    def answer(challenge=None):
        # A challenge after the credential is a refusal; an empty line ends it with a 535.
        return xoauth2 if challenge is None else ""

    with smtplib.SMTP(HOST, PORT, timeout=60) as server:
        server.starttls(context=ssl.create_default_context())
        server.ehlo()
        server.auth("XOAUTH2", answer)
        server.send_message(message, from_addr=sender, to_addrs=[recipient])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main()
