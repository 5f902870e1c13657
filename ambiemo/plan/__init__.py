"""The plan: read and validate it (`schema`), see what this machine has of it (`expand`,
`preflight`), share its draws (`sharing`).
"""
