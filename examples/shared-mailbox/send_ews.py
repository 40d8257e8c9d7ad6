#!/usr/bin/env python3
"""The same through Exchange Web Services, for a tenant that still has them, with exchangelib
(python3-exchangelib in Debian).

    send_ews.py team@uni.example someone@example.net 'A subject' < text

The account in xoauthd needs "ews" among its services. Microsoft blocks EWS in Exchange Online tenant by
tenant from October 2026 and ends it in April 2027; send.py is what lasts.
"""

import os
import sys

from exchangelib import DELEGATE, OAUTH2, Account, Configuration, Mailbox, Message
from exchangelib import OAuth2AuthorizationCodeCredentials

from send import credential


def main():
    sender, recipient, subject = sys.argv[1:4]
    token = credential("EWS,token", sender)
    account = Account(
        primary_smtp_address=sender,
        config=Configuration(
            server=os.environ.get("EWS_SERVER", "outlook.office365.com"),
            auth_type=OAUTH2,
            credentials=OAuth2AuthorizationCodeCredentials(access_token={"access_token": token}),
        ),
        autodiscover=False,
        access_type=DELEGATE,
    )
    text = sys.stdin.read()
    message = Message(
        account=account,
        # Without it the mail would come from the person who signed in.
        author=Mailbox(email_address=sender),
        subject=subject,
        body=text,
        to_recipients=[recipient],
    )
    message.send_and_save()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main()
