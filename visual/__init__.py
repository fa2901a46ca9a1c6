"""Numbers to pictures: colours, what TensorBoard shows, what the commands write."""
