# exit 3
printf 'PK\003\004 and so on, for a while' > pytorch_model.bin
hone-generate pytorch_model.bin --token-ids 1
