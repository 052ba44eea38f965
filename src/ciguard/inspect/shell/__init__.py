"""What a shell script could run: its simple commands, through quotes, variables and the programs that run others."""
