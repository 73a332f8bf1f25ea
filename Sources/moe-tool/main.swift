import Commands

await MoETool.run()
