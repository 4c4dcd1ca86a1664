"""What is in the bucket, seen by boto3: one object, or the list of all with the bucket's policy. Prints JSON.

    look.py ENDPOINT REGION ACCESS_KEY SECRET_KEY BUCKET [KEY]
"""

import json
import sys

import boto3
from botocore.exceptions import ClientError

endpoint, region, access, secret, bucket, *key = sys.argv[1:]
s3 = boto3.client(
    "s3", endpoint_url=endpoint, region_name=region, aws_access_key_id=access, aws_secret_access_key=secret
)
try:
    if key:
        found = s3.get_object(Bucket=bucket, Key=key[0])
        seen = {
            "status": 200,
            "type": found["ContentType"],
            "length": found["ContentLength"],
            "disposition": found.get("ContentDisposition"),
            "cache": found.get("CacheControl"),
            "owner": found["Metadata"].get("owner"),
            "begins": found["Body"].read(32).decode("latin-1"),
        }
    else:
        keys = [row["Key"] for row in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
        seen = {"keys": keys, "policy": s3.get_bucket_policy(Bucket=bucket)["Policy"]}
except ClientError as error:
    seen = {"status": error.response["ResponseMetadata"]["HTTPStatusCode"]}
print(json.dumps(seen))
